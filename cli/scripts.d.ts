/** Shell scripts are bundled as their text. */
declare module "*.sh" {
  const text: string;
  export default text;
}
